"""Lists all programs.

python -m common
"""

from common.programs import catalogue, cli

if __name__ == '__main__':
    cli.run(catalogue.main, catalogue.define_flags)
