"""Taking a person out of everything that an installation holds, and keeping them out."""
