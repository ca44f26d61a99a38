// The candidates of a user from the run that serves, best first.
MATCH (p:GraphrecallPointer {name: 'serving'}) MATCH (u:<user> {<user.key>: $user_id})-[c:GRAPHRECALL_CANDIDATE]->(i:<item>)
WHERE c.slot = p.slot
RETURN <item.id i> AS item, c.rank AS rank, c.score AS score, c.source AS source, c.run AS run
ORDER BY rank LIMIT $k
