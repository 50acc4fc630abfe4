"""What exists: one module per stage of the graph, with resources, partitions and gates."""
