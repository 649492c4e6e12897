"""How clients speak to us: bytes to arguments and back, in every published version at once."""
