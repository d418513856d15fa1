"""objectives/relation"""
