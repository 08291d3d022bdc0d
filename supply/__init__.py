"""What the project is built from: the tested set with hashes, its bill of materials, its known weaknesses.

tested.txt   every release that the tests run with, with the hashes of all its files; node.txt what a plain node needs
pins         reads them
sbom         `make sbom`: the bill of materials (CycloneDX)
audit        `make audit`: asks the vulnerability service about the tested set
"""
