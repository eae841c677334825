def write(world, table, spent):
    pass
