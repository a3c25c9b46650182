"""Resources of a Kubernetes cluster: the Gateway API's, and agentgateway's own (`agentgateway.dev/v1alpha1`).

The field names are those of controller/api/v1alpha1 in github.com/agentgateway/agentgateway.
"""
