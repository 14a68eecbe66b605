"""What builds need from elsewhere: kept, dated, and served as it was on a day."""
