"""objectives/sequence"""
