"""Evidence (9.2-d): who has done what, when and on what, kept so that it can be neither changed nor denied.

    noting      what a transaction has done, noted down on its session
    acts        which changes of which tables are acts
    acting      on whose behalf
    records     one record, and what makes records a chain
    keeper      writes what was noted into the chain, within the transaction of the act itself
    verifying   the whole chain, its seals and its signatures
    bundles     records as signed files, for auditors and for backups
    auditing    what an auditor can do: view, restore, export, verify
    keeping     what the node does of itself: checkpoints, backups, the destruction of what has served its term

An act and its record are one transaction: a record that cannot be written undoes the act, and an act that is undone
leaves no record.
"""
