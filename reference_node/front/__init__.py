"""What stands before the workers: connections are accepted, secured and read here until a request is whole.

    head       the strict parser of a request's head (RFC 9112)
    bodies     framing of bodies, chunks
    preface    the PROXY protocol, by which a balancer says whose connection it hands on
    bounds     how many connections, and whose go first
    rules      what the gate goes by
    wires      sockets that never wait, plain and secured
    lines      one connection and what it is at
    hall       where connections wait
    arrivals   accepting, balancers, handshakes
    gate       the loop that holds everything that is not whole yet

`head`, `bodies`, `preface` and `bounds` are pure.
"""
