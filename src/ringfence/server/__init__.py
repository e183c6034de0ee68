"""What is served to browsers. So far the page of one user on their own machine; the fleet's server is to stand here."""
