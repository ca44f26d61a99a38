// Whom the run that serves offers an item to, best ranks first; names users.
MATCH (p:GraphrecallPointer {name: 'serving'}) MATCH (i:<item> {<item.key>: $item_id})<-[c:GRAPHRECALL_CANDIDATE]-(u:<user>)
WHERE c.slot = p.slot
RETURN <user.id u> AS user, c.rank AS rank, c.score AS score, c.run AS run
ORDER BY rank, user LIMIT $k
