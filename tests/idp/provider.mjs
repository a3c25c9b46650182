// The certified `oidc-provider` of npm as a small identity provider: node provider.mjs
// It listens on a free port of the loopback interface, prints its issuer, and ends when its standard input does.
// Tokens: client credentials; with `resource` a JWT for it, without one an opaque token.

import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const gateway = JSON.parse(process.env.GATEWAY_JWK);
const RESOURCE = "https://gate.test/llm";

const configuration = {
  clients: [
    { client_id: "batch", client_secret: "batch-secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] },
    { client_id: "gateway", client_secret: "gateway-s3cret+/%:", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] },
    {
      client_id: "gateway-by-key", token_endpoint_auth_method: "private_key_jwt", jwks: { keys: [gateway] },
      grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
    },
  ],
  jwks: JSON.parse(process.env.SIGNING_JWKS),
  scopes: ["llm.use"],
  enabledJWA: { clientAuthSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"] },
  extraTokenClaims: () => ({ team: "data-platform" }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId.startsWith("gateway") },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => {
        if (!resource.startsWith(RESOURCE)) throw new Error("unknown resource");
        return {
          scope: "llm.use", audience: RESOURCE, accessTokenTTL: 300, accessTokenFormat: "jwt",
          jwt: { sign: { alg: new URL(resource).searchParams.get("alg") ?? "RS256" } },
        };
      },
    },
  },
};

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on("server_error", (ctx, error) => console.error(error));
  server.on("request", provider.callback());
  console.log(issuer);
});

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
