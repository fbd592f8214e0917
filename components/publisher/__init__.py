"""The watch stack's Lambda function: `handler` reads EC2 and publishes, `figures` reckons.

It runs with boto3 and the modules of the pure rooms that it imports; `components.subnet_publisher` packs them.
"""
