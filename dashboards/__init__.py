"""The pages that quality teams read: Streamlit on published, read-only files."""
