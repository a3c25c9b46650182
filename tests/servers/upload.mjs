// Posts 5 MB without a token, as often as asked, and prints what Node's fetch makes of each refusal.
const [url, times] = process.argv.slice(2);
const body = JSON.stringify({ model: "claude-opus-5", padding: "x".repeat(5_000_000) });
const seen = [];
for (let time = 0; time < Number(times); time++) {
  try {
    const answer = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json" } });
    seen.push([answer.status, (await answer.json()).error.message]);
  } catch (error) {
    seen.push([0, String(error.cause ?? error)]);
  }
}
console.log(JSON.stringify(seen));
