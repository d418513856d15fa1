"""objectives/response"""
