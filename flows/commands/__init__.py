"""The commands of `ccm`, a module a group: what each understands, and what it does.

A module has `add(commands)`, which declares its commands; what a command needs is imported when it runs.
"""
