"""Which hyper-parameters suit these messages?"""
