"""An HTML page taken apart, for tests that look at one."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The contents of a page: tags with attributes, text, cells of each table."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.tables, self._cell = [], "", [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self._cell)
            self._cell = None

    def handle_data(self, data):
        self.text += data
        if self._cell is not None:
            self._cell += data

    def find(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]
