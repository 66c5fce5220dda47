"""``python -m ops.cli`` is ``scutari``."""

from ops.cli.main import main

main()
