"""The service beside what a team would otherwise take: FastAPI with SQLAlchemy, and a Prism mock of the document."""
