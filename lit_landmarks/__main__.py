"""`python -m lit_landmarks <verb>`."""

from lit_landmarks.cli import main

raise SystemExit(main())
