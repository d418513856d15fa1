"""objectives/feature"""
