"""Services: what the window and the command line can do. No torch, no gradio."""
