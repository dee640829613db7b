"""What the grammar of commands leaves open: names of rooms, devices and lists, and things that people say, our own.

Many words stand in several lists on purpose: an orange is a colour, something to buy, and part of a song's title.
"""

AREAS = """
attic, balcony, basement, bathroom, bedroom, breakfast nook, conservatory, dining room, dressing room, entrance,
garage, garden, guest room, gym, hallway, home office, kids room, kitchen, laundry room, library, living room,
master bedroom, music room, nursery, office, pantry, patio, playroom, porch, sauna, shed, storage room, studio,
sun room, terrace, tv room, utility room, wine cellar, winter garden, workshop
"""

FLOORS = """
attic floor, basement level, downstairs, first floor, garden level, ground, lower, main, second, third, top, upper,
upstairs, mezzanine
"""

# By the kind of device, which the grammar calls a domain.
NAMES = {
    "light": """
        bedside lamp, ceiling light, chandelier, christmas tree, desk lamp, fairy lights, floor lamp, light strip,
        mirror light, night light, orange lamp, pendant, porch light, reading lamp, spotlights, table lamp, wall lights
    """,
    "switch": """
        air purifier, aquarium, christmas tree, coffee machine, dehumidifier, espresso machine, fountain, kettle,
        plug by the window, printer, rice cooker, router, toaster, water heater
    """,
    "fan": """
        bathroom fan, bedroom fan, ceiling fan, desk fan, extractor, kitchen hood, tower fan, ventilation, window fan
    """,
    "media_player": """
        apple tv, bedroom speaker, big tv, computer, garage radio, hi-fi, kitchen radio, living room tv, loudspeakers,
        nursery speaker, office speaker, projector, record player, soundbar, stereo
    """,
    "input_boolean": "away switch, guest mode, holiday mode, night mode, party mode, sleep mode, vacation mode",
    "climate": """
        air conditioner, bathroom radiator, boiler, bedroom heater, floor heating, furnace, heat pump, office heater,
        radiator, thermostat, towel rail, underfloor heating, upstairs thermostat
    """,
    "cover": """
        awning on the balcony, bay window blinds, bedroom curtains, front gate, garage door, kitchen blinds,
        left curtain, office shutter, patio awning, roller shutter, skylight, south blinds, sun shade, velvet curtains
    """,
    "valve": "front lawn, garden hose, greenhouse valve, irrigation, main water valve, pool valve, sprinkler",
    "lock": """
        back door, bike shed lock, cellar door, front door, garage lock, garden gate, letter box, office door, safe,
        shed, side entrance
    """,
    "sensor": """
        car battery, co2 in the nursery, electricity meter, freezer temperature, humidity outside, pool temperature,
        rain gauge, solar power, water usage
    """,
    "binary_sensor": """
        attic window, back door sensor, basement leak detector, driveway camera, hallway motion, kitchen smoke alarm,
        mailbox, phone charger, smoke detector, water sensor, window in the office
    """,
    "scene": """
        bedtime, breakfast, candlelight dinner, cosy evening, focus, good morning, movie night, party, reading,
        romantic, sunset, workout
    """,
    "script": "arrive at home, clean up, feed the cat, good night, leave the house, morning routine, panic, tea time",
    "button": "coffee button, door bell, find my phone, reboot, restart the modem, snooze, water the plants",
    "vacuum": "dusty, floor cleaner, robot, robo vacuum, rosie, sweeper, wally, mister clean",
    "lawn_mower": "daisy, garden robot, grass cutter, lawn bot, mow joe, shaun the sheep",
    "person": "alice, anna, ben, carlos, emma, grandma, grandpa, jack, june, mary, may, mum, noah, rose, tom",
    "weather": "amsterdam, berlin, boston, chicago, home town, lisbon, london, orange county, oslo, paris, tokyo, york",
    "todo": """
        birthday, bucket, christmas, chores, errands, grocery, hardware store, holiday, packing, party, to do, weekend,
        wish
    """,
}

TIMER_NAMES = """
bath, beans, bread, breakfast, cake, chicken, coffee, cookies, dinner, dishwasher, egg, focus, homework, ice bath,
laundry, lasagna, lunch, meditation, nap, oven, pasta, piano practice, pizza, plank, potatoes, rice, roast, soup,
steak, study, sourdough, tea, tooth brushing, turkey, workout, yoga
"""

ITEMS = """
apples, baking soda, bananas, batteries, beans, black pepper, blue cheese, bread, brown sugar, butter, cake, carrots,
cat food, cheese, chicken, chocolate, coffee, cookies, dish soap, eggs, fabric softener, flour, garbage bags,
green beans, green tea, half a watermelon, honey, ice cream, lamp oil, laundry detergent, lemons, light bulbs, milk,
mushrooms, mustard, oats, olive oil, onions, orange juice, oranges, paper towels, pasta, peanut butter, pink grapefruit,
pizza, potatoes, red wine, rice, salt, shampoo, soap, spinach, steak, tea, tomatoes, toothpaste, turkey, white bread,
yellow onions, yogurt
"""

MESSAGES = """
breakfast is ready, come downstairs please, dinner is on the table, dinner is ready, does anyone want tea,
don't forget your keys, good morning everyone, good night, grandma is here, happy birthday, i am home,
i am in the garage, i am leaving now, i am stuck in the office, i will be late, it is raining, it is time for bed,
lunch is ready, please close the windows, please turn off your lights, please open the front door,
the bathroom is free, the bus is coming, the cake is in the oven, the cat is outside, the doctor called,
the laundry is done, the movie starts in 10 minutes, the package has arrived, the pizza is here, the pool is open,
the taxi is here, turn down the music, we are going to the beach, we leave in 5 minutes, we need more milk,
who wants ice cream, who took my charger, your friends are here, your timer is done
"""

QUERIES = """
a hard day's night, abba, back in black, bach, beethoven, billie jean, black coffee, blue train, bob dylan,
bohemian rhapsody, breakfast club, close to you, coldplay, daft punk, dancing queen, deep purple, fleetwood mac,
frozen, garage rock, good morning, green day, hamilton, here comes the sun, hotel california, in the kitchen,
jazz for dinner, kind of blue, lemon tree, let it be, light my fire, living room jazz, madonna, miles davis, moana,
money for nothing, mozart, on the road again, orange crush, paint it black, pink floyd, prince, purple rain, queen,
radiohead, rain sounds, red hot chili peppers, seven nation army, simon and garfunkel, stairway to heaven,
star wars, the beatles, the lion king, the office, turn the page, white noise, wish you were here, yellow,
yellow submarine, 99 luftballons
"""

ZONES = """
beach, cinema, gym, home, library, mall, office, park, school, station, supermarket, university, work, zoo
"""

TIMER_COMMANDS = """
close the blinds, close the curtains, dim the lights, feed the cat, lock the back door, lock the front door,
open the garage door, open the window, pause the music, play some jazz, start the coffee machine, start the robot,
stop the fan, turn off the heater, turn off the kitchen lights, turn off the lights, turn off the oven,
turn off the tv, turn on the bedroom fan, turn on the kettle, turn on the radio, unlock the gate,
set the volume to 20, water the garden
"""

# The lists that the grammar leaves open, by their names there; a device's `name` depends on its domain.
OPEN_LISTS = {
    "area": AREAS,
    "floor": FLOORS,
    "timer_name": TIMER_NAMES,
    "shopping_list_item": ITEMS,
    "todo_list_item": ITEMS,
    "message": MESSAGES,
    "search_query": QUERIES,
    "zone": ZONES,
    "timer_command": TIMER_COMMANDS,
}


def values(text):
    """The entries of a list written with commas."""
    return [" ".join(entry.split()) for entry in text.split(",")]
