"""`python -m webhook` is `registry-webhook`."""

from webhook.commands import main

if __name__ == "__main__":
    main()
