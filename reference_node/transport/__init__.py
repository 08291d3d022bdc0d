"""How the node reaches its partners: the seam `Outbound`, signed calls, and the outbox of owed deliveries."""
