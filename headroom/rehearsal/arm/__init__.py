"""The simulated Azure of a rehearsal: Azure Resource Manager, Resource Graph, Log Analytics and metrics over HTTPS.

It runs as a process of its own, whose certificate signs itself. The real SDKs speak to it when they are told where it
is and what to trust:

    from azure.mgmt.network import NetworkManagementClient
    from azure.monitor.query import LogsQueryClient
    from headroom.rehearsal.arm.endpoint import start_arm

    with start_arm(folder, propagation_seconds=1200) as arm:
        network = NetworkManagementClient(arm.credential(), arm.subscription, **arm.options())
        logs = LogsQueryClient(arm.credential(), **arm.monitor_options())

`options()` are `base_url`, `credential_scopes` and `connection_verify`, for every client of azure-mgmt-* and for
azure-mgmt-core's ARMPipelineClient; `monitor_options()` have `endpoint` in place of `base_url`, for LogsQueryClient
and MetricsClient. `credential()` gives a token that nobody has to sign in for. Code that is to run against Azure and
here takes the credential and such a mapping as arguments, and neither names nor imports this package.
`environment()` are variables for other processes (SSL_CERT_FILE, REQUESTS_CA_BUNDLE). The real Pulumi engine over it
is `headroom.rehearsal.azure_world.start_azure_world`.

What is there is put in by the SDKs, by `add_resources` (whole resources, 5,000 in one request), and by what only a
scenario can know: `answer_logs`, `write_metric`, `set_usages`, `take_addresses`, `split`. `order` orders faults
(`arm.order("LIST Microsoft.Network/natGateways", "deny")`), `calls` counts requests by operation, `requests` has them
one by one. Time is simulated: `advance` jumps; durations are fields of `settings.Settings`, 0 unless set.

A PUT replaces the whole resource. Rules and error codes are in `network`, `profiles`, `clusters` and `frontdoor`,
each with its source; what a module does not simulate its docstring says.
"""
