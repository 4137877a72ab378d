"""Did it help, and by how much?"""
