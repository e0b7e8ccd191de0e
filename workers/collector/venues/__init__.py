"""What is peculiar to each venue: the shape of its hot frames, and the checks its books allow."""
