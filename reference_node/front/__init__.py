"""What stands before the workers: connections are accepted, secured and read here until a request is whole.

    head       the strict parser of a request's head (RFC 9112)       bodies    framing of bodies, chunks
    preface    the PROXY protocol, by which a balancer hands on whom   bounds    how many connections, and whose go first
    wires      sockets that never wait, plain and secured              lines     one connection and what it is at
    gate       the loop that holds everything that is not whole yet

Only `gate` and `wires` do I/O.
"""
