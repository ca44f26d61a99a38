// Who else liked the item, and how many items they and the user both liked; names other users.
MATCH (i:<item> {<item.key>: $item_id})<-[l:<liked>]-(o:<user>)-[m:<liked>]->(h:<item>)<-[n:<liked>]-(u:<user> {<user.key>: $user_id})
WHERE <positive l> AND <positive m> AND <positive n> AND o.<user.key> <> u.<user.key> AND h.<item.key> <> i.<item.key>
RETURN <user.id o> AS user, count(DISTINCT h.<item.key>) AS both_liked
ORDER BY both_liked DESC, user LIMIT $k
