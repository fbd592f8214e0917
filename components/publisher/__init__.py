"""The watch stack's Lambda function: `handler` reads EC2 and publishes, `pods` reads the cluster, `figures` reckons.

It runs with boto3 and the modules of the pure rooms that it imports; `components.subnet_publisher` packs them.
"""
