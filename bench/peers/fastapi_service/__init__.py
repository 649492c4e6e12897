"""The customers as an ordinary service keeps them: FastAPI, Pydantic, SQLAlchemy and asyncpg, run by uvicorn.

It runs in an environment of its own and imports nothing of Customary. It has the resource of the newest version and no
more: no older versions, events, activity logs, idempotency keys, entity tags or rate limits.
"""
