"""The rules, one file for each family. A module here has one function, `causes(evidence)`, and is found by being here."""
