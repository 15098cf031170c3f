import streamlit as st

TITLE = "Losses"
st.title(TITLE)
steps = st.slider("Steps", 1, 100, 20)
st.line_chart([1 / (1 + step) for step in range(steps)])
