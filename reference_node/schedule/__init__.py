"""Jobs and tasks on their way between nodes (8.4, 8.5): what the scheduler tells, what the parties run and tell back.

    orders     messages of the scheduler to the parties: kept, in order, tried for a bounded time
    progress   the scheduler's view: what starts next, what has ended, what is told to whom
    local      this node's own parts: begun, stopped, reported
    dispatch   parts handed to the runtime, and how they ended
    polling    asking for what a callback would have told, in both directions
    driver     all of it in turn: after every event and at every pump

Any node may schedule: the initiator, another party, or a third node. Everything that is owed stands in the database
together with the change that owes it, so that a restart at any moment loses nothing; every wait has an end.
"""
