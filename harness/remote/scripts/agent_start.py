"""The agent's last part (the parts are sent as one script, see agent.py): it begins."""
# ruff: noqa: F821

main()  # type: ignore[name-defined]
