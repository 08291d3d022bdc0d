"""Runs components: each part of a task in a process of its own, under the standard's environment contract (5.3, 8.5).

contract     what the schedule asks of whatever runs components: `Runner`, `Work`, `Exit`
catalogue    the components that come with the node
launcher     the node's side of the fork server
server       the fork server: a warm process that components are forked from
component    the process of a component, from the fork to the exit status
confinement  what a component is kept from, by what the kernel gives: landlock, else namespaces
environment  the variables that a component is told everything by
logs         the logs of tasks
"""
