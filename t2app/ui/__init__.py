"""The page in the browser, one file a tab; nothing else in t2app imports gradio.

``safe`` and ``conversation`` and ``charts`` are pure functions, ``words`` holds the texts, ``chat``
the chat tab, ``page`` puts the page together. Not covered: what the model does with a question.
"""
