"""`python -m webhook` is `registry-webhook`."""

from webhook.cli import main

if __name__ == "__main__":
    main()
