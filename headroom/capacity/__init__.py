"""Instance limits and the VPC CNI pool model: what a node takes from its subnets, and when it stops."""
