"""The pages. The folder must not be called pages: Streamlit would serve it past every check."""
