"""IPv4 arithmetic on integers: free space, alignment, the /28 map, legality rules and subnet layouts."""
