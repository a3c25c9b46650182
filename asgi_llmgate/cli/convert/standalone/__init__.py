"""agentgateway's own configuration file, without Kubernetes.

The names of the fields are those of schema/config.json in github.com/agentgateway/agentgateway.
"""
