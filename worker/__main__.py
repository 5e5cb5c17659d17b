"""`python -m worker`: one worker, until it is asked to leave."""

from .run import main

if __name__ == "__main__":
    main()
