// The candidates of a user from the run that serves, each with what it shares with items that the user liked.
MATCH (p:GraphrecallPointer {name: 'serving'}) MATCH (u:<user> {<user.key>: $user_id})-[c:GRAPHRECALL_CANDIDATE]->(i:<item>)
WHERE c.slot = p.slot
MATCH (i)<hop r>(x:<other>)<back s>(h:<item>)<-[l:<liked>]-(u)
WHERE <positive l> AND h.<item.key> <> i.<item.key>
RETURN <item.id i> AS item, c.rank AS rank, <other.id x> AS shared, count(DISTINCT h) AS liked, c.run AS run
ORDER BY rank, liked DESC, shared LIMIT $k
