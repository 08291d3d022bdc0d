"""The commands of `hutong`, one module for what belongs together; `conformance.cli` hangs them under one name.

Each command translates words into a call and a result into words and an exit code; what it does lives in another room.
"""
